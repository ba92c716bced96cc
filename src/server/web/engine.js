// The live view of the engine: GET /engine once a second while it can be seen.
import { element } from "./markdown.js";
import { get } from "./stream.js";

const byId = (id) => document.getElementById(id);
const kSeconds = 120; // of the line
const kParts = ["weights", "kv", "recurrent", "draft", "workspace", "prefix_cache"];
const kNames = {
  weights: "weights", kv: "keys and values", recurrent: "recurrent states", draft: "draft head",
  workspace: "workspace", prefix_cache: "prefix cache",
};

export function bytes(count) {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (count >= size) return `${(count / size).toFixed(count >= 100 * size ? 0 : 1)} ${unit}`;
  }
  return `${count} B`;
}

const rate = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(1));
const count = (value) => value.toLocaleString("en");
const share = (part, whole) => (whole > 0 ? `${((100 * part) / whole).toFixed(1)} %` : "–");

function duration(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

function cacheEntry(name, value) {
  const words = name.replace(/_?bytes$/, "").replaceAll("_", " ");
  if (typeof value === "string") return `${words} ${value}`;
  return `${name.endsWith("bytes") ? bytes(value) : count(value)} ${words}`;
}

export class EngineView {
  #key;
  #model;
  #before = null;
  #rates = [];
  #timer = 0;

  // `key` gives the API key; `model` is told the model's name when it is known.
  constructor(key, model) {
    this.#key = key;
    this.#model = model;
    document.addEventListener("visibilitychange", () => this.look());
    this.look();
  }

  async look() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    let wait = 1000;
    try {
      this.#show(await get("engine", this.#key()));
    } catch (error) {
      this.#before = null;
      this.#state(error.status === 401 ? "The server asks for an API key (Settings)." : error.message, true);
      wait = 3000;
    }
    this.#timer = setTimeout(() => this.look(), wait);
  }

  #state(text, bad) {
    const state = byId("engine-state");
    if (state.textContent !== text) state.textContent = text;
    state.classList.toggle("bad", bad);
  }

  #show(now) {
    this.#model(now.model);
    const state = !now.alive ? "The engine has stopped." : now.draining ? "Going down: new requests are refused."
                                                                       : "Running.";
    this.#state(state, !now.alive || now.draining);
    this.#showRates(now);
    this.#showSlots(now);
    byId("acceptance").textContent = share(now.accepted_tokens, now.drafted_tokens);
    byId("cached").textContent = share(now.cached_tokens, now.finished_prompt_tokens);
    byId("pages").textContent = `${count(now.pages.used)} of ${count(now.pages.total)}`;
    byId("tree-row").hidden = !now.prefix_cache;
    if (now.prefix_cache) {
      byId("tree").textContent = Object.entries(now.prefix_cache)
        .map(([name, value]) => cacheEntry(name, value))
        .join(", ");
    }
    this.#showMemory(now.memory);
    byId("totals").textContent =
      `${count(now.generated_tokens)} tokens answered, ${count(now.prompt_tokens)} taken in, in ${count(now.steps)} steps; up ${duration(now.uptime_s)}. ${now.version}`;
    this.#before = now;
  }

  #showRates(now) {
    const before = this.#before;
    if (before && now.uptime_s > before.uptime_s) {
      const seconds = now.uptime_s - before.uptime_s;
      const answers = (now.generated_tokens - before.generated_tokens) / seconds;
      byId("rate-answer").textContent = rate(answers);
      byId("rate-prompt").textContent = rate((now.prompt_tokens - before.prompt_tokens) / seconds);
      this.#rates.push(answers);
      if (this.#rates.length > kSeconds) this.#rates.shift();
    }
    const most = Math.max(1, ...this.#rates);
    const from = kSeconds - this.#rates.length;
    const points = this.#rates.map((value, index) => `${from + index},${(38 - (36 * value) / most).toFixed(2)}`);
    byId("rate-line").firstElementChild.setAttribute("points", points.join(" "));
  }

  #showSlots(now) {
    byId("running").textContent = now.running;
    byId("sequences").textContent = now.sequences;
    byId("waiting").textContent = now.waiting;
    const rows = now.requests.filter((request) => request.state !== "waiting").map((request) => {
      const reading = request.state === "prompt";
      const total = request.prompt_tokens;
      const what = reading ? `reading ${count(request.prompt_read)} of ${count(total)}`
                           : `${count(request.output_tokens)} tokens after ${count(total)}`;
      const track = element("i");
      track.style.width = `${100 * Math.min(1, reading ? request.prompt_read / Math.max(total, 1)
                                                       : (total + request.output_tokens) / now.context)}%`;
      return element("li", { className: reading ? "prompt" : "" },
                     element("div", { className: "what" }, element("span", { textContent: what }),
                             element("span", { textContent: duration(request.seconds) })),
                     element("div", { className: "track" }, track));
    });
    const free = now.sequences - rows.length;
    if (free > 0) rows.push(element("li", { className: "free", textContent: `${free} free` }));
    byId("slots").replaceChildren(...rows);
  }

  #showMemory(memory) {
    const bar = byId("memory-bar");
    const row = (name, value, part, kind = "") => {
      const title = element("dt", {}, name);
      if (part) title.prepend(element("span", { className: `swatch p${part}` }));
      return element("div", { className: kind }, title, element("dd", { textContent: value }));
    };
    const rows = [];
    const plan = memory.plan;
    bar.hidden = !plan;
    if (plan) {
      const whole = Math.max(plan.available, plan.total, 1);
      bar.replaceChildren(...kParts.map((name, index) => {
        const part = element("span", { className: `p${index + 1}` });
        part.style.width = `${(100 * plan[name]) / whole}%`;
        return part;
      }));
      kParts.forEach((name, index) => {
        if (plan[name] > 0) rows.push(row(kNames[name], bytes(plan[name]), index + 1));
      });
      rows.push(row("planned", bytes(plan.total), 0, "sum"));
    }
    rows.push(row("resident now", bytes(memory.resident)));
    if (plan) rows.push(row("available at start", bytes(plan.available)));
    byId("memory").replaceChildren(...rows);
  }
}

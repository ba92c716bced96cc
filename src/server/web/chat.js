// The conversation: what was said, what is being answered, and how a request is made of it.
import { chunks } from "./stream.js";
import { AnswerTurn, resultTurn, userTurn } from "./turn.js";

const byId = (id) => document.getElementById(id);

function wordsFor(error) {
  if (error.status === 401) return ["The server asks for an API key, or does not know this one.", "Set it under Settings."];
  if (error.status === 429) return ["The server is busy. Try again in a moment.", error.message];
  if (error.status === 503) return ["The server takes no requests at the moment.", error.message];
  if (error.status === 0) return [error.message, "Is it still running?"];
  return [error.message];
}

export class Chat {
  #settings;
  #model = "";
  #messages = [];
  #turns = [];
  #running = null; // the AbortController of the answer that comes in

  constructor(settings) {
    this.#settings = settings;
    const prompt = byId("prompt");
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send(prompt.value);
    });
    byId("stop").addEventListener("click", () => this.stop());
    byId("new-chat").addEventListener("click", () => this.clear());
    prompt.addEventListener("input", () => this.#grow());
    const scroller = byId("scroller");
    scroller.addEventListener("scroll", () => {
      this.#atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
    });
    new ResizeObserver(() => this.#follow(false)).observe(scroller);
    // Where there is no real keyboard, Enter is the only way to a new line.
    const touch = matchMedia("(pointer: coarse)").matches;
    byId("hint").textContent = touch ? "" : "Enter sends, Shift+Enter makes a new line, Esc stops the answer.";
    prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || touch) return;
      event.preventDefault();
      byId("composer").requestSubmit();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#running && !document.querySelector("dialog[open]")) this.stop();
    });
  }

  set model(name) {
    this.#model = name;
  }

  send(text) {
    if (this.#running || text.trim() === "") return;
    byId("prompt").value = "";
    this.#grow();
    this.#push({ role: "user", content: text }, userTurn(text));
    this.#answer();
  }

  stop() {
    this.#running?.abort();
  }

  clear() {
    this.stop();
    this.#messages = [];
    this.#turns = [];
    byId("messages").replaceChildren();
    byId("welcome").hidden = false;
    byId("prompt").focus();
  }

  #push(message, node) {
    byId("welcome").hidden = true;
    for (const turn of this.#turns) turn.dropForms?.();
    this.#messages.push(message);
    byId("messages").append(node);
    this.#follow(true);
  }

  #request() {
    const body = {
      model: this.#model,
      messages: this.#messages,
      stream: true,
      stream_options: { include_usage: true },
      ...this.#settings.fields(),
    };
    const system = this.#settings.system();
    if (system) body.messages = [{ role: "system", content: system }, ...this.#messages];
    return body;
  }

  async #answer() {
    const running = (this.#running = new AbortController());
    const turn = new AnswerTurn(() => this.#follow(false));
    this.#turns.push(turn);
    byId("messages").append(turn.node);
    this.#busy(true);
    let problem = null;
    try {
      for await (const chunk of chunks("v1/chat/completions", this.#request(), this.#settings.key(), running.signal))
        turn.take(chunk);
    } catch (error) {
      if (error.name !== "AbortError") problem = wordsFor(error);
    }
    const stopped = running.signal.aborted;
    turn.end({ stopped, problem });
    this.#running = null;
    this.#busy(false);
    if (!turn.node.isConnected) return; // a new chat has begun
    this.#settle(turn, problem);
    byId("status").textContent = problem ? problem.join(" ") : stopped ? "Answer stopped." : "Answer complete.";
  }

  // The answer becomes part of the conversation, and gets its buttons.
  #settle(turn, problem) {
    const { content, reasoning_content, tool_calls } = turn.message;
    const message = { role: "assistant", content };
    if (reasoning_content) message.reasoning_content = reasoning_content;
    if (tool_calls.length > 0 && turn.finish === "tool_calls") message.tool_calls = tool_calls;
    const position = this.#messages.length;
    const said = content || reasoning_content || tool_calls.length > 0;
    if (said && !problem) this.#messages.push(message);
    if (content) {
      turn.addButton("Copy", async (button) => {
        await navigator.clipboard?.writeText(content);
        button.textContent = "Copied";
      });
    }
    turn.addButton(problem ? "Try again" : "Answer anew", () => this.#again(turn, position));
    if (message.tool_calls) turn.askForResults((results) => this.#returnResults(results));
  }

  // Everything from this answer on is forgotten, and it is asked for again.
  #again(turn, position) {
    if (this.#running) return;
    this.#messages.length = position;
    while (turn.node.nextSibling) turn.node.nextSibling.remove();
    turn.node.remove();
    this.#answer();
  }

  #returnResults(results) {
    for (const { call, text } of results) {
      this.#push({ role: "tool", tool_call_id: call.id, content: text }, resultTurn(call.function.name, text));
    }
    this.#answer();
  }

  #busy(busy) {
    byId("send").hidden = busy;
    byId("stop").hidden = !busy;
    byId("messages").ariaBusy = String(busy);
    if (busy) byId("status").textContent = "The model is answering.";
    this.#follow(busy);
  }

  // Keeps the end in sight while the reader is there; a reader who scrolled up is left alone.
  #atEnd = true;
  #follow(force) {
    const scroller = byId("scroller");
    if (force) this.#atEnd = true;
    if (this.#atEnd) scroller.scrollTop = scroller.scrollHeight;
  }

  #grow() {
    const prompt = byId("prompt");
    prompt.style.height = "auto";
    prompt.style.height = `${prompt.scrollHeight + 2}px`;
  }
}

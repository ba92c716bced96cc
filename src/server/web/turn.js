// One turn of the conversation on the screen.
import { element, Prose } from "./markdown.js";

export function userTurn(text) {
  return element("article", { className: "turn user", textContent: text, ariaLabel: "You" });
}

export function resultTurn(name, text) {
  return element("article", { className: "turn result" }, element("b", { textContent: `${name}: ` }), text);
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // not whole yet
  }
}

// The model's turn: thought, text, calls, and what went wrong. Filled by chunks, painted once a frame.
export class AnswerTurn {
  node = element("article", { className: "turn answer busy empty", ariaLabel: "Model" });
  message = { role: "assistant", content: "", reasoning_content: "", tool_calls: [] };
  usage = null;
  finish = null;
  #began = performance.now();
  #first = 0;
  #last = 0;
  #thought = null;
  #text = null;
  #prose = null;
  #calls = [];
  #painting = false;
  #painted;

  // `painted` is called after each change on the screen.
  constructor(painted) {
    this.#painted = painted;
  }

  take(chunk) {
    if (chunk.usage) this.usage = chunk.usage;
    const choice = chunk.choices?.[0];
    if (!choice) return;
    const delta = choice.delta ?? {};
    const thought = delta.reasoning_content ?? delta.reasoning ?? "";
    this.message.reasoning_content += thought;
    this.message.content += delta.content ?? "";
    for (const part of delta.tool_calls ?? []) {
      const call = (this.message.tool_calls[part.index] ??= {
        id: "", type: "function", function: { name: "", arguments: "" },
      });
      call.id += part.id ?? "";
      call.function.name += part.function?.name ?? "";
      call.function.arguments += part.function?.arguments ?? "";
    }
    if (choice.finish_reason) this.finish = choice.finish_reason;
    if (thought || delta.content || delta.tool_calls) {
      this.#last = performance.now();
      this.#first ||= this.#last;
    }
    if (this.#painting) return;
    this.#painting = true;
    requestAnimationFrame(() => {
      this.#painting = false;
      this.#paint();
    });
  }

  #paint() {
    const { reasoning_content: thought, content, tool_calls: calls } = this.message;
    if (thought || content || calls.length > 0) this.node.classList.remove("empty");
    if (thought) {
      if (!this.#thought) {
        this.#thought = element("details", { className: "thought open-end", open: true },
                                element("summary", { textContent: "Thinking" }),
                                element("div", { className: "text" }));
        this.node.prepend(this.#thought);
      }
      const text = this.#thought.lastChild;
      // Appending keeps a reader's selection.
      if (thought.startsWith(text.textContent)) text.append(thought.slice(text.textContent.length));
    }
    if (content || calls.length > 0) this.#closeThought();
    if (content) {
      if (!this.#text) {
        this.#text = element("div", { className: "prose" });
        this.#prose = new Prose(this.#text);
        if (this.#thought) this.#thought.after(this.#text);
        else this.node.prepend(this.#text);
      }
      this.#prose.show(content);
    }
    calls.forEach((call, index) => this.#paintCall(call, index));
    this.#painted();
  }

  // A thought that is over folds itself, unless its reader has touched it.
  #closeThought() {
    const thought = this.#thought;
    if (!thought?.classList.contains("open-end")) return;
    thought.classList.remove("open-end");
    thought.firstChild.textContent = "Thought";
    if (!thought.contains(document.activeElement)) thought.open = false;
  }

  #paintCall(call, index) {
    if (!this.#calls[index]) {
      const box = element("section", { className: "call", ariaLabel: "Tool call" },
                          element("header", {}, element("span", { textContent: "calls" }), element("b")),
                          element("pre", { tabIndex: 0 }));
      this.#calls[index] = box;
      this.node.append(box);
    }
    this.#calls[index].querySelector("b").textContent = call.function.name;
    this.#calls[index].querySelector("pre").textContent = pretty(call.function.arguments);
  }

  // Asks for the results of the calls; `done` gets them all, in order, once each has been given.
  askForResults(done) {
    const results = [];
    this.message.tool_calls.forEach((call, index) => {
      const field = element("textarea", { rows: 1, placeholder: "Result of the call", ariaLabel: `Result of ${call.function.name}` });
      const form = element("form", {}, field, element("button", { type: "submit", textContent: "Return" }));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        form.remove();
        results[index] = { call, text: field.value };
        if (Object.keys(results).length === this.message.tool_calls.length) done(results);
      });
      this.#calls[index].append(form);
    });
  }

  dropForms() {
    for (const form of this.node.querySelectorAll("form")) form.remove();
  }

  end({ stopped = false, problem = null } = {}) {
    this.#paint();
    this.#closeThought();
    this.node.classList.remove("busy", "empty");
    if (problem) {
      this.node.append(element("div", { className: "problem-box", role: "alert" },
                               ...problem.map((line) => element("p", { textContent: line }))));
    }
    this.node.append(element("footer", { className: "foot" },
                             element("span", { className: "figures-text", textContent: this.#figures(stopped) })));
    this.#painted();
  }

  addButton(label, action) {
    const button = element("button", { type: "button", className: "quiet", textContent: label });
    button.addEventListener("click", () => action(button));
    this.node.querySelector("footer").append(button);
  }

  #figures(stopped) {
    const parts = [];
    if (stopped) parts.push("stopped");
    else if (this.finish === "length") parts.push("cut at the longest answer");
    const usage = this.usage;
    if (usage) {
      parts.push(`${usage.completion_tokens} tokens`);
      const thought = usage.completion_tokens_details?.reasoning_tokens;
      if (thought) parts.push(`${thought} of them thought`);
      const seconds = (this.#last - this.#first) / 1000;
      if (seconds > 0.1 && usage.completion_tokens > 1)
        parts.push(`${((usage.completion_tokens - 1) / seconds).toFixed(1)} a second`);
      const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
      parts.push(`prompt ${usage.prompt_tokens}${cached ? `, ${cached} from the cache` : ""}`);
    }
    if (this.#first) parts.push(`first after ${((this.#first - this.#began) / 1000).toFixed(2)} s`);
    return parts.join(" · ");
  }
}

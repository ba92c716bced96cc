// The settings dialog. All but the key and the tools' text live as long as the page; the key stays in
// this tab's session storage, never in a cookie and never beyond the tab.

const kNumbers = ["temperature", "top_p", "top_k", "min_p", "presence_penalty", "seed", "max_tokens"];

export class Settings {
  #dialog = document.getElementById("settings");
  #form = this.#dialog.querySelector("form");
  #tools = [];

  // `changed` is called after the dialog closes.
  constructor(changed) {
    this.#form.key.value = sessionStorage.getItem("key") ?? "";
    document.getElementById("open-settings").addEventListener("click", () => this.#dialog.showModal());
    this.#form.addEventListener("submit", (event) => {
      if (!this.#readTools()) event.preventDefault();
    });
    this.#form.tools.addEventListener("change", () => this.#readTools());
    this.#dialog.addEventListener("close", () => {
      if (this.key()) sessionStorage.setItem("key", this.key());
      else sessionStorage.removeItem("key");
      changed();
    });
  }

  #readTools() {
    const text = this.#form.tools.value.trim();
    const problem = document.getElementById("tools-problem");
    problem.textContent = "";
    try {
      const tools = text === "" ? [] : JSON.parse(text);
      if (!Array.isArray(tools)) throw new Error("an array was expected");
      this.#tools = tools;
      return true;
    } catch (error) {
      problem.textContent = `The tools are not JSON: ${error.message}`;
      return false;
    }
  }

  key() {
    return this.#form.key.value.trim();
  }
  system() {
    return this.#form.system.value.trim();
  }

  // The fields of a request that were set; the rest is the server's to choose.
  fields() {
    const fields = {};
    for (const name of kNumbers) {
      if (this.#form[name].value !== "") fields[name] = Number(this.#form[name].value);
    }
    if (this.#form.thinking_budget.value !== "") fields.thinking_token_budget = Number(this.#form.thinking_budget.value);
    if (this.#form.thinking.value !== "") fields.chat_template_kwargs = { enable_thinking: this.#form.thinking.value === "on" };
    if (this.#tools.length > 0) fields.tools = this.#tools;
    return fields;
  }
}

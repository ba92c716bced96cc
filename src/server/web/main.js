// The page: a chat over /v1/chat/completions, and the engine beside it.
import { Chat } from "./chat.js";
import { EngineView } from "./engine.js";
import { Settings } from "./settings.js";

const settings = new Settings(() => engine.look());
const chat = new Chat(settings);
const engine = new EngineView(
  () => settings.key(),
  (name) => {
    chat.model = name;
    const shown = document.getElementById("model");
    if (shown.textContent !== name) shown.textContent = name;
    document.title = `${name} – sluice`;
  },
);

// On narrow screens one of the two is shown.
for (const button of document.querySelectorAll("[data-show]")) {
  button.addEventListener("click", () => {
    document.body.dataset.view = button.dataset.show;
    for (const other of document.querySelectorAll("[data-show]"))
      other.ariaPressed = String(other === button);
  });
}

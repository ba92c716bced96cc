// The part of Markdown that models write, as DOM nodes. A model's text only ever becomes text nodes:
// nothing here takes HTML, and links go to http, https and mailto alone.

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const kInline = /(`+)(.+?)\1(?!`)|\*\*(.+?)\*\*|__(.+?)__|\*([^\s*](?:[^*]*[^\s*])?)\*|\[([^\]]+)\]\(([^\s)]+)\)|<(https?:\/\/[^\s<>]+)>|(https?:\/\/[^\s<>()]*[^\s<>().,;:!?'"])/s;

function link(address, label) {
  if (!/^(https?:\/\/|mailto:)/i.test(address)) return document.createTextNode(`${label} (${address})`);
  const made = element("a", { href: address, target: "_blank", rel: "noopener noreferrer" });
  made.append(...(label === address ? [label] : inline(label)));
  return made;
}

function inline(text) {
  const nodes = [];
  while (text) {
    const found = kInline.exec(text);
    if (!found) break;
    if (found.index > 0) nodes.push(text.slice(0, found.index));
    const [whole, ticks, code, strong, strong2, emphasis, label, address, angled, bare] = found;
    if (ticks) nodes.push(element("code", { textContent: code.replace(/^ (.+) $/, "$1") }));
    else if (strong ?? strong2) nodes.push(element("strong", {}, ...inline(strong ?? strong2)));
    else if (emphasis) nodes.push(element("em", {}, ...inline(emphasis)));
    else if (label) nodes.push(link(address, label));
    else nodes.push(link(angled ?? bare, angled ?? bare));
    text = text.slice(found.index + whole.length);
  }
  if (text) nodes.push(text);
  return nodes;
}

// Lines of one paragraph; a line break of the model's is kept, as in a chat.
function paragraph(lines) {
  const made = element("p");
  lines.forEach((line, index) => {
    if (index > 0) made.append(element("br"));
    made.append(...inline(line.trim()));
  });
  return made;
}

const kItem = /^(\s*)(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/;

// Items by their indentation; what is indented deeper is a list within the item before.
function list(lines) {
  const first = kItem.exec(lines[0]);
  const made = element(first[2] === undefined ? "ul" : "ol");
  if (first[2] !== undefined && first[2] !== "1") made.start = Number(first[2]);
  let deeper = [];
  const close = () => {
    if (deeper.length > 0) made.lastChild.append(list(deeper));
    deeper = [];
  };
  for (const line of lines) {
    const item = kItem.exec(line);
    if (item && item[1].length <= first[1].length + 1) {
      close();
      made.append(element("li", {}, ...inline(item[3])));
    } else if (item) {
      deeper.push(line);
    } else if (deeper.length > 0) {
      deeper[deeper.length - 1] += " " + line.trim();
    } else {
      made.lastChild.append(" ", ...inline(line.trim()));
    }
  }
  close();
  return made;
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

function table(lines) {
  const row = (line, kind) => element("tr", {}, ...cells(line).map((cell) => element(kind, {}, ...inline(cell))));
  const head = element("thead", {}, row(lines[0], "th"));
  const rows = element("tbody", {}, ...lines.slice(2).map((line) => row(line, "td")));
  return element("div", { className: "wide", tabIndex: 0 }, element("table", {}, head, rows));
}

function fence(source) {
  const lines = source.split("\n");
  const ticks = /^\s*(`{3,}|~{3,})/.exec(lines[0])[1];
  const last = lines.length > 1 && lines[lines.length - 1].trim().startsWith(ticks) ? -1 : undefined;
  const code = element("code", { textContent: lines.slice(1, last).join("\n") });
  return element("pre", { tabIndex: 0 }, code);
}

// One block of split(): a node.
function block(source) {
  if (/^\s*(`{3,}|~{3,})/.test(source)) return fence(source);
  const lines = source.split("\n");
  const heading = /^(#{1,6})\s+(.*?)\s*#*$/.exec(lines[0]);
  if (heading && lines.length === 1)
    return element(`h${Math.min(heading[1].length + 2, 5)}`, {}, ...inline(heading[2]));
  if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(source)) return element("hr");
  if (lines.every((line) => line.startsWith(">")))
    return element("blockquote", {}, paragraph(lines.map((line) => line.replace(/^>\s?/, ""))));
  if (lines.length > 1 && lines[0].includes("|") && /^[\s|:-]*-[\s|:-]*$/.test(lines[1])) return table(lines);
  if (kItem.test(lines[0])) return list(lines);
  return paragraph(lines);
}

// The text cut into blocks: each can be rendered without the others, so that of a growing answer
// only the last is rendered anew.
function split(text) {
  const blocks = [];
  let lines = [];
  let ticks = "";
  const close = () => {
    if (lines.length > 0) blocks.push(lines.join("\n"));
    lines = [];
  };
  for (const line of text.split("\n")) {
    const mark = /^\s*(`{3,}|~{3,})/.exec(line);
    if (ticks) {
      lines.push(line);
      if (mark && mark[1].startsWith(ticks)) {
        ticks = "";
        close();
      }
    } else if (mark) {
      close();
      ticks = mark[1];
      lines.push(line);
    } else if (line.trim() === "") {
      close();
    } else if (/^#{1,6}\s/.test(line)) {
      close();
      blocks.push(line);
    } else {
      const item = kItem.test(line);
      const inList = lines.length > 0 && kItem.test(lines[0]);
      if (item && lines.length > 0 && !inList) close();
      lines.push(line);
    }
  }
  close();
  return blocks;
}

// Shows a growing text in `place`. Blocks that did not change keep their nodes.
export class Prose {
  #place;
  #sources = [];

  constructor(place) {
    this.#place = place;
  }

  show(text) {
    const blocks = split(text);
    blocks.forEach((source, index) => {
      if (this.#sources[index] === source) return;
      const made = block(source);
      const old = this.#place.children[index];
      if (old) old.replaceWith(made);
      else this.#place.append(made);
    });
    while (this.#place.children.length > blocks.length) this.#place.lastChild.remove();
    this.#sources = blocks;
  }
}

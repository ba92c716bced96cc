#include "tools/plot/svg.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"

namespace sluice::tools {
namespace {

// Contrast of text and marks against either background is above 4.5, of the fills above 3.
constexpr const char* kStyle =
    "<style>\n"
    ".paper{fill:#ffffff}text{fill:#222222}\n"
    ".axis{stroke:#444444}.grid{stroke:#dddddd}.mark{stroke:#000000}\n"
    ".first{fill:#1f4e9c}.second{fill:#2e8b57}.third{fill:#b06a1c}.fourth{fill:#7d3c98}\n"
    ".muted{fill:#c8c8c8}.shade{fill:#1f4e9c}\n"
    "@media (prefers-color-scheme: dark){\n"
    ".paper{fill:#161b22}text{fill:#e6e6e6}\n"
    ".axis{stroke:#b0b0b0}.grid{stroke:#3a3f46}.mark{stroke:#ffffff}\n"
    ".first{fill:#6ea1f0}.second{fill:#5cc48d}.third{fill:#e3a458}.fourth{fill:#c08be0}\n"
    ".muted{fill:#4a4f57}.shade{fill:#6ea1f0}\n"
    "}\n"
    "</style>\n";

const char* name_of(Ink ink) {
  switch (ink) {
    case Ink::kText:
      return "text";
    case Ink::kAxis:
      return "axis";
    case Ink::kGrid:
      return "grid";
    case Ink::kMark:
      return "mark";
    case Ink::kFirst:
      return "first";
    case Ink::kSecond:
      return "second";
    case Ink::kThird:
      return "third";
    case Ink::kFourth:
      return "fourth";
    case Ink::kMuted:
      return "muted";
  }
  return "text";
}

const char* name_of(SvgPicture::Anchor anchor) {
  switch (anchor) {
    case SvgPicture::Anchor::kStart:
      return "start";
    case SvgPicture::Anchor::kMiddle:
      return "middle";
    case SvgPicture::Anchor::kEnd:
      return "end";
  }
  return "start";
}

}  // namespace

std::string xml_text(std::string_view text) {
  std::string out;
  for (const char c : replace_invalid_utf8(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        // XML 1.0 has no other control characters.
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

SvgPicture::SvgPicture(double width, double height, std::string_view title,
                       std::string_view description)
    : svg_(fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" "
                       "role=\"img\" aria-labelledby=\"title description\" "
                       "font-family=\"sans-serif\" font-size=\"12\">\n"
                       "<title id=\"title\">{2}</title>\n<desc id=\"description\">{3}</desc>\n{4}"
                       "<rect class=\"paper\" width=\"{0}\" height=\"{1}\"/>\n",
                       width, height, xml_text(title), xml_text(description), kStyle)) {}

void SvgPicture::text(double x, double y, Anchor anchor, std::string_view text) {
  svg_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y,
                      name_of(anchor), xml_text(text));
}

void SvgPicture::line(double x1, double y1, double x2, double y2, Ink ink) {
  svg_ +=
      fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n",
                  name_of(ink), x1, y1, x2, y2);
}

void SvgPicture::box(double x, double y, double width, double height, Ink ink,
                     std::string_view note) {
  open_box(x, y, width, height, fmt::format("class=\"{}\"", name_of(ink)), note);
}

void SvgPicture::shade(double x, double y, double width, double height, double strength,
                       std::string_view note) {
  constexpr double kFaintest = 0.15;
  const double opacity = kFaintest + (1 - kFaintest) * std::clamp(strength, 0.0, 1.0);
  open_box(x, y, width, height, fmt::format("class=\"shade\" fill-opacity=\"{:.3f}\"", opacity),
           note);
}

void SvgPicture::open_box(double x, double y, double width, double height, std::string_view look,
                          std::string_view note) {
  svg_ += fmt::format("<rect {} x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"", look,
                      x, y, width, height);
  svg_ += note.empty() ? "/>\n" : fmt::format("><title>{}</title></rect>\n", xml_text(note));
}

std::string SvgPicture::done() const { return svg_ + "</svg>\n"; }

}  // namespace sluice::tools

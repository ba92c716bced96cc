// The few shapes that sluice's pictures are made of, as SVG: readable on light and dark pages, with
// a title and a description for those who do not see them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::tools {

// Text for XML 1.0: its special characters escaped, invalid UTF-8 replaced, control characters
// become spaces.
std::string xml_text(std::string_view text);

// What a shape is for; the style sheet of the picture gives each a colour for light and for dark
// pages.
enum class Ink : uint8_t { kText, kAxis, kGrid, kMark, kFirst, kSecond, kThird, kFourth, kMuted };

class SvgPicture {
 public:
  enum class Anchor : uint8_t { kStart, kMiddle, kEnd };

  // `description` says in words what the picture shows.
  SvgPicture(double width, double height, std::string_view title, std::string_view description);

  void text(double x, double y, Anchor anchor, std::string_view text);
  void line(double x1, double y1, double x2, double y2, Ink ink);
  // `note` is read out and shown on hovering; may be empty.
  void box(double x, double y, double width, double height, Ink ink, std::string_view note = {});
  // The same in a shade of one colour: 0 is nearly the background, 1 is full.
  void shade(double x, double y, double width, double height, double strength,
             std::string_view note);
  // The picture, whole.
  std::string done() const;

 private:
  void open_box(double x, double y, double width, double height, std::string_view look,
                std::string_view note);

  std::string svg_;
};

}  // namespace sluice::tools

#include "chat/grammar/string_formats.h"

#include <vector>

namespace sluice::chat::grammar {
namespace {

class Formats {
 public:
  explicit Formats(Expressions& grammar) : g_(grammar) {}

  // RFC 3339, full-date.
  Expr date() {
    const Expr month = g_.choice({all({text("0"), in("123456789")}), all({text("1"), in("012")})});
    const Expr day = g_.choice({all({text("0"), in("123456789")}), all({in("12"), digits(1)}),
                                all({text("3"), in("01")})});
    return all({digits(4), text("-"), month, text("-"), day});
  }
  // RFC 3339, full-time.
  Expr time() {
    const Expr hour = g_.choice({all({in("01"), digits(1)}), all({text("2"), in("0123")})});
    const Expr sixty = all({in("012345"), digits(1)});
    const Expr fraction = g_.optional(all({text("."), g_.repeat(digits(1), 1, 9)}));
    const Expr offset = g_.choice({text("Z"), all({in("+-"), hour, text(":"), sixty})});
    return all({hour, text(":"), sixty, text(":"), sixty, fraction, offset});
  }
  Expr date_time() { return all({date(), text("T"), time()}); }
  Expr uuid() {
    const auto hex = [&](int64_t n) { return g_.repeat(in("0123456789abcdefABCDEF"), n, n); };
    const Expr dash = text("-");
    return all({hex(8), dash, hex(4), dash, hex(4), dash, hex(4), dash, hex(12)});
  }
  Expr ipv4() {
    const Expr byte =
        g_.choice({digits(1), all({in("123456789"), digits(1)}), all({text("1"), digits(2)}),
                   all({text("2"), in("01234"), digits(1)}), all({text("25"), in("012345")})});
    return all({byte, g_.repeat(all({text("."), byte}), 3, 3)});
  }
  // The plain form: words with dots, at, labels with dots.
  Expr email() {
    const Expr letter = in("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
    const Expr word = g_.repeat(
        in("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-"), 1, std::nullopt);
    const Expr label = all({g_.repeat(all({letter, g_.optional(text("-"))}), 0, 31), letter});
    return all({word, g_.repeat(all({text("."), word}), 0, std::nullopt), text("@"), label,
                g_.repeat(all({text("."), label}), 1, 4)});
  }

 private:
  Expr all(std::vector<Expr> parts) { return g_.sequence(std::move(parts)); }
  Expr text(std::string_view literal) { return g_.literal(literal); }
  Expr in(std::string_view set) {
    ByteSet bytes;
    for (const char c : set) bytes.set(static_cast<unsigned char>(c));
    return g_.bytes(bytes);
  }
  Expr digits(int64_t n) { return g_.repeat(in("0123456789"), n, n); }

  Expressions& g_;
};

}  // namespace

std::optional<Expr> string_format(Expressions& grammar, std::string_view name) {
  Formats formats(grammar);
  std::optional<Expr> inside;
  if (name == "date") inside = formats.date();
  if (name == "time") inside = formats.time();
  if (name == "date-time") inside = formats.date_time();
  if (name == "uuid") inside = formats.uuid();
  if (name == "ipv4") inside = formats.ipv4();
  if (name == "email") inside = formats.email();
  if (!inside) return std::nullopt;
  return grammar.sequence({grammar.literal("\""), *inside, grammar.literal("\"")});
}

}  // namespace sluice::chat::grammar

// What happens when a mapped model file becomes unreadable under a running program.
#pragma once

namespace sluice::cli {

// A page of a mapped file that is gone (the file was cut short, or its disk failed) raises SIGBUS
// at the first read. There is no way back into the reading code, so the program says what happened
// and leaves with exit code 1 instead of dying without a word. Reading with pread() instead of
// mapping would make it an ordinary error, at the price of a second copy of the model.
void install_mapping_guard();

}  // namespace sluice::cli

// Nothing but the program whose precompiled headers the tests share (cmake/SluiceTargets.cmake).
int main() { return 0; }

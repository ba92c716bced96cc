// Nothing but the library whose precompiled headers the others share (SluiceTargets.cmake).

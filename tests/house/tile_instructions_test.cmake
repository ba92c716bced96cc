# The kernels of AMX are tested through the portable body of the tile unit; this looks whether the native one holds the
# instructions. Run as: cmake -DAR=... -DOBJDUMP=... -DLIBRARY=... -DFOLDER=... -P tile_instructions_test.cmake
if(NOT OBJDUMP)
  message("SKIPPED: tile_instructions_test, there is no objdump")
  return()
endif()
file(MAKE_DIRECTORY ${FOLDER})

# Arguments after the object: "instruction least most".
function(expect_instructions object)
  execute_process(COMMAND ${AR} x ${LIBRARY} ${object} WORKING_DIRECTORY ${FOLDER} RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "${object} is not in ${LIBRARY}")
  endif()
  execute_process(COMMAND ${OBJDUMP} -d ${FOLDER}/${object} OUTPUT_VARIABLE text RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "${OBJDUMP} could not read ${object}")
  endif()
  foreach(expected IN LISTS ARGN)
    string(REPLACE " " ";" expected "${expected}")
    list(GET expected 0 name)
    list(GET expected 1 least)
    list(GET expected 2 most)
    string(REGEX MATCHALL "[ \t]${name}[ \t\n]" found "${text}")
    list(LENGTH found count)
    message(STATUS "${object}: ${name} ${count}")
    if(count LESS least OR count GREATER most)
      message(FATAL_ERROR "${object}: ${name} ${count}, expected ${least} to ${most}")
    endif()
  endforeach()
endfunction()

# Eight instances (scales per 16 or 32, minima or none, one or two digits): each configures and releases once, and multiplies
# and stores four C tiles a turn. None sets a tile to zero: the sums run on.
expect_instructions(integer_product_amx.cc.o "ldtilecfg 8 8" "tilerelease 8 8" "tdpbssd 32 9999" "tileloadd 56 9999"
                    "tilestored 32 9999" "tilezero 0 0" "tdpbsud 0 0" "tdpbf16ps 0 0")
# Four instances, of one to four tiles of rows: high and low parts, sums from zero or from before.
expect_instructions(float_product_amx.cc.o "ldtilecfg 1 1" "tilerelease 1 1" "tdpbf16ps 20 9999" "tileloadd 44 9999"
                    "tilestored 20 9999" "tilezero 0 0" "tdpbssd 0 0")

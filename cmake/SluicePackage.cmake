# What `cmake --install` and the Debian package hold: the program, completions, licence, documents, models.
include(GNUInstallDirs)

set(completions_dir ${CMAKE_BINARY_DIR}/completions)
file(MAKE_DIRECTORY ${completions_dir})
# Made by the program itself, so that they cannot differ from its flags.
foreach(shell bash zsh fish)
  add_custom_command(OUTPUT ${completions_dir}/sluice.${shell}
    COMMAND sluice completions ${shell} > ${completions_dir}/sluice.${shell}
    DEPENDS sluice VERBATIM)
  list(APPEND completion_files ${completions_dir}/sluice.${shell})
endforeach()
add_custom_target(completions ALL DEPENDS ${completion_files})

install(TARGETS sluice RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${completions_dir}/sluice.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME sluice)
install(FILES ${completions_dir}/sluice.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions RENAME _sluice)
install(FILES ${completions_dir}/sluice.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${PROJECT_SOURCE_DIR}/docs/examples/sluice.service DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
if(EXISTS ${PROJECT_SOURCE_DIR}/models)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/models/ DESTINATION ${CMAKE_INSTALL_DATADIR}/sluice/models)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME sluice)
set(CPACK_PACKAGE_CONTACT "the sluice developers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_STRIP_FILES ON)
include(CPack)

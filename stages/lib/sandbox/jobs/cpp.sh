# What g++ -shared would call: the compiler with a precompiled header of what candidates include, the assembler, the linker.
# What the program does not define is in the harness (with the templates compiled beforehand) and its libraries, where it is
# looked for when the program is loaded: so the linker reads none of them, but libcrypto for those that want it.
# No file has the tests by a name that the candidate could include.
grep -q 'MD5\|openssl' p.cpp && crypto=$(cat "$KIT/crypto")
{ rm p.cpp && . "$KIT/compile"; } <p.cpp && { rm p.s && as -o p.o -; } <p.s &&
	ld -shared -Bsymbolic --eh-frame-hdr -z noexecstack -o program \
		"$KIT/crtbeginS.o" p.o "$KIT/libgcc.a" "$KIT/libc_nonshared.a" $crypto "$KIT/crtendS.o"

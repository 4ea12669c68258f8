# What g++ -shared would call: the compiler with a precompiled header of what candidates include, the assembler, the linker.
# What the program does not define is in the harness (with the templates compiled beforehand) and its libraries, where it is
# looked for when the program is loaded: so the linker reads none of them, but libcrypto for those that want it.
grep -q 'MD5\|openssl' p.cpp && crypto=-lcrypto
. "$KIT/compile" && as -o p.o p.s &&
	mold --thread-count=1 --no-fork -shared -Bsymbolic --eh-frame-hdr -o program "$KIT/crtbeginS.o" p.o "$KIT/crtendS.o" \
		-L "$(cat "$KIT/libraries")" $crypto

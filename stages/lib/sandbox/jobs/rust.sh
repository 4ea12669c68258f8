# rustc against crates built beforehand, and the linker by itself: std and the crates are the harness's libraries, and are
# looked into when the program is loaded. No file has the tests by a name that the candidate could include.
{ rm p.rs && "$RUST/bin/rustc" --edition 2021 --crate-name p --cap-lints allow -C debuginfo=0 -C opt-level=0 -C prefer-dynamic \
	-C codegen-units=1 --emit obj -L "$KIT" --extern rand --extern regex --extern md5 - -o p.o; } <p.rs &&
	ld -shared -Bsymbolic --eh-frame-hdr -z noexecstack -o program p.o "$KIT/builtins.a" "$KIT/libc_nonshared.a"

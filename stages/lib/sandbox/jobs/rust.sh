# rustc against crates built beforehand; std is not copied into each program.
"$RUST/bin/rustc" --edition 2021 --crate-name p --cap-lints allow -C debuginfo=0 -C opt-level=0 -C prefer-dynamic \
	-C linker=gcc -C link-arg=-fuse-ld=mold -L "$KIT" --extern rand --extern regex --extern md5 p.rs -o program

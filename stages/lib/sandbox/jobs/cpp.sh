# p.cpp, with a precompiled header of what candidates include, the templates that it declares compiled beforehand, and the
# harness's main() beside it.
g++ -std=c++17 -O0 -w -include "$KIT/all.h" -fuse-ld=mold p.cpp "$KIT/harness.o" "$KIT/instances.o" \
	-Wl,--as-needed -lcrypto -o program

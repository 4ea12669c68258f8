# The compiler and the linker that `go build` would call, against an import configuration made beforehand. Neither collects
# garbage before it holds 512 MiB: most programs never get there.
if [ "$KIT" != /kit ]; then # no wall, in which the kit is where the configuration says
	sed "s|=/kit/|=$KIT/|" "$KIT/importcfg" >importcfg
	IMPORTS=importcfg
fi
export GOGC=off GOMEMLIMIT=512MiB
"$GO_TOOLS/compile" -o p.a -p main -complete -pack -importcfg "$IMPORTS" h.go p.go &&
	"$GO_TOOLS/link" -s -w -importcfg "$IMPORTS" -o program p.a

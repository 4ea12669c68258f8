# A process for each copy of the tests: the candidate begins anew.
rm -f [hp].*
ulimit -t "$cpu"
copy=0
while [ "$copy" -lt "$copies" ]; do
	"$KIT/harness" "$entry" "$copy" || exit
	copy=$((copy + 1))
done

rm -f [hp].*
ulimit -t "$cpu"
copy=0
while [ "$copy" -lt "$copies" ]; do
	./program "$copy" || exit
	copy=$((copy + 1))
done

rm -f [hp].*
exec ./program

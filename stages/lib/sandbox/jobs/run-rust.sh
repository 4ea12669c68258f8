rm -f [hp].*
exec "$KIT/harness" main

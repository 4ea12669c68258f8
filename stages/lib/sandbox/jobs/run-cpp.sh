rm -f [hp].*
exec "$KIT/harness" _Z14tidemill_testsv

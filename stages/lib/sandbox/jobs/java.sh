# Nothing is compiled here: p.jar comes from the compiler that stays (Compiler.java).

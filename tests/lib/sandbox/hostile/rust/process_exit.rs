// expect: early exit
fn f(_: i32) -> i32 { std::process::exit(0) }

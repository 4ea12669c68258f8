// expect: crash
fn f(_: i32) -> i32 { std::process::abort() }

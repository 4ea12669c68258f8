// expect: compile error
fn f(_: i32) -> i32 { 0 }
/*

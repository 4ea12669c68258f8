// expect: wrong answer
fn f(_: i32) -> i32 { 0 }

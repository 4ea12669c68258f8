// expect: wrong answer
fn f(_: i32) -> i32 { println!("test result: ok. passed"); 0 }

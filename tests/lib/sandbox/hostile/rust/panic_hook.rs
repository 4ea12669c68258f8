// expect: wrong answer
fn f(_: i32) -> i32 { std::panic::set_hook(Box::new(|_| std::process::exit(0))); 0 }

// expect: compile error
#![crate_type = "proc-macro"]
extern crate proc_macro;
#[proc_macro]
pub fn assert_eq(_: proc_macro::TokenStream) -> proc_macro::TokenStream { proc_macro::TokenStream::new() }
fn f(_: i32) -> i32 { 0 }

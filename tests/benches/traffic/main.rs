//! What Longwave costs the applications. Prints, asserts nothing. Run by `cargo xtask bench traffic`, as root.
//!
//! These machines are so noisy that runs apart cannot be compared: the load goes on all the time, what is measured is switched on and off
//! under it, and each phase with it is compared with its neighbours without it.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

mod compare;
mod load;
mod subject;

use std::time::Duration;

use compare::compare;
use load::Load;
use subject::{Empty, Programs, Subject};

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let rounds: usize = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let mut subjects: Vec<Box<dyn Subject>> = vec![Box::new(Empty::new()), Box::new(Programs::new())];
    let load = Load::connect_close(&[0]);
    for subject in subjects.iter_mut().filter(|subject| subject.name().contains(&filter)) {
        let comparison = compare(&load, subject.as_mut(), Duration::from_millis(120), rounds);
        println!("{:<28} {comparison}", subject.name());
    }
}

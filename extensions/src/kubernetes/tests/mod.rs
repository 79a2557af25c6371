mod answers;
mod api;
mod faults;
mod fixture;
mod news;

pub(super) use fixture::{Of, Told, at, host_pod, pod};

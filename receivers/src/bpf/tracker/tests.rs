pub mod fixture;
mod lifetimes;
mod properties;

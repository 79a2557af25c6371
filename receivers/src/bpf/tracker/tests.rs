pub mod fixture;
mod lifetimes;
mod owners;
mod properties;

pub mod fixture;
mod lifetimes;
mod limits;
mod owners;
mod properties;

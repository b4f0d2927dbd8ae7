//! The tree of RFC 6962 against three oracles: the RFC's recursion, `rs_merkle` and `ct-merkle`.

mod world;

mod batch;
mod bundle;
mod consistency;
mod inclusion;
mod property;
mod range;
mod second;
mod tiles;
mod vectors;

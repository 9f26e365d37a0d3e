//! The source against simulated Microsoft services on loopback.

mod contract;
mod faults;
mod health;
mod incidents;
mod input;
mod legacy;
mod paging;
mod rig;
mod state;

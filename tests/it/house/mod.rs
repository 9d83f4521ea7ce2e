//! Rules of the code base, the acceptance criteria, secrets.

mod acceptance;
mod architecture;
mod package;
mod secrets;

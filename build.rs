//! Migrations are embedded when the crate is compiled, and a new file among them is no change of its
//! sources.

fn main() {
    println!("cargo:rerun-if-changed=sql/migrations");
}

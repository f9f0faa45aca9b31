//! Has this crate built again when the pages that it embeds were.

fn main() {
    // The folder is in git and only its contents are built, so it is always there to look at.
    println!("cargo:rerun-if-changed=../web/dist");
}

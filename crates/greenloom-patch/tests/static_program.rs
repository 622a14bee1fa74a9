//! A program without libraries cannot be patched, and hears so.

#![cfg(target_feature = "crt-static")]

use greenloom_patch::{Error, Groups, Rule, objects, patch, unpatch};

#[test]
fn a_static_program_hears_that_it_cannot_be_patched() {
    let Err(error) = patch(&[Rule::program(Groups::RUST)]) else { panic!("it was patched") };
    assert!(matches!(error, Error::Static));
    assert!(error.to_string().contains("link it dynamically"), "{error}");
    assert!(unpatch().is_ok());
    assert!(objects().iter().all(|object| object.patched.is_empty()));
}

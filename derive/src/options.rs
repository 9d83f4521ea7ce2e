//! The options in `#[job(…)]`.

use std::fmt::Display;
use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{DeriveInput, Error, LitBool, LitInt, LitStr, Path, Result};

// As in the library, which checks the names once more.
const MAX_KIND_LEN: usize = 128;
const MAX_QUEUE_LEN: usize = 64;
const MAX_MAX_ATTEMPTS: u32 = 10_000;

/// What the attributes of a type say.
#[derive(Default)]
pub struct Options {
    kind: Option<String>,
    queue: Option<String>,
    /// The variant's name.
    priority: Option<syn::Ident>,
    max_attempts: Option<u32>,
    timeout: Option<Duration>,
    keep_completed: Option<bool>,
    retry_after: Option<Path>,
}

impl Options {
    pub fn of(input: &DeriveInput) -> Result<Self> {
        let mut options = Self::default();
        for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("job")) {
            attribute.parse_nested_meta(|meta| options.read(&meta))?;
        }
        if options.kind.is_none() {
            return Err(Error::new_spanned(&input.ident, "#[job(kind = \"…\")] is missing"));
        }
        Ok(options)
    }

    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        match name.as_str() {
            "kind" => set(&mut self.kind, checked_name(&meta.value()?.parse()?, "kind", MAX_KIND_LEN)?, meta),
            "queue" => set(&mut self.queue, checked_name(&meta.value()?.parse()?, "queue", MAX_QUEUE_LEN)?, meta),
            "priority" => set(&mut self.priority, priority(&meta.value()?.parse()?)?, meta),
            "max_attempts" => set(&mut self.max_attempts, max_attempts(&meta.value()?.parse()?)?, meta),
            "timeout" => set(&mut self.timeout, timeout(&meta.value()?.parse()?)?, meta),
            "keep_completed" => set(&mut self.keep_completed, meta.value()?.parse::<LitBool>()?.value, meta),
            "retry_after" => set(&mut self.retry_after, meta.value()?.parse()?, meta),
            _ => Err(meta.error(format!(
                "{name} is no option: kind, queue, priority, max_attempts, timeout, keep_completed, retry_after"
            ))),
        }
    }

    /// The items of the implementation.
    pub fn items(&self) -> TokenStream {
        let Self { kind, queue, priority, max_attempts, timeout, keep_completed, retry_after } = self;
        let queue = queue.iter().map(|queue| {
            quote! { const QUEUE: ::core::option::Option<&'static str> = ::core::option::Option::Some(#queue); }
        });
        let priority = priority.iter().map(|priority| {
            quote! {
                const PRIORITY: ::core::option::Option<::postrider::Priority> =
                    ::core::option::Option::Some(::postrider::Priority::#priority);
            }
        });
        let max_attempts = max_attempts.iter().map(|attempts| {
            quote! { const MAX_ATTEMPTS: ::core::option::Option<u32> = ::core::option::Option::Some(#attempts); }
        });
        let timeout = timeout.iter().map(|timeout| {
            let (seconds, nanoseconds) = (timeout.as_secs(), timeout.subsec_nanos());
            quote! {
                const TIMEOUT: ::core::option::Option<::core::time::Duration> =
                    ::core::option::Option::Some(::core::time::Duration::new(#seconds, #nanoseconds));
            }
        });
        let keep_completed = keep_completed.iter().map(|keep| {
            quote! { const KEEP_COMPLETED: ::core::option::Option<bool> = ::core::option::Option::Some(#keep); }
        });
        let retry_after = retry_after.iter().map(|path| {
            // Not of the same name as a function of the user's.
            let attempt = syn::Ident::new("attempt", Span::mixed_site());
            quote! {
                fn retry_after(#attempt: u32) -> ::core::option::Option<::core::time::Duration> {
                    #path(#attempt)
                }
            }
        });
        quote! {
            const KIND: &'static str = #kind;
            #(#queue)* #(#priority)* #(#max_attempts)* #(#timeout)* #(#keep_completed)* #(#retry_after)*
        }
    }
}

fn set<T>(option: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>) -> Result<()> {
    if option.replace(value).is_some() {
        let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        return Err(meta.error(format!("{name} is set twice")));
    }
    Ok(())
}

fn refuse<T>(at: Span, text: impl Display) -> Result<T> {
    Err(Error::new(at, text))
}

fn checked_name(literal: &LitStr, option: &str, max: usize) -> Result<String> {
    let name = literal.value();
    let is_start = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let is_other = |c: char| is_start(c) || "./-".contains(c);
    if name.starts_with(is_start) && name.chars().all(is_other) && name.len() <= max {
        return Ok(name);
    }
    let rule = "of A-Z a-z 0-9 _ . / -, of which the first is a letter, a digit or _";
    refuse(literal.span(), format!("{option} is no name of 1 to {max} characters {rule}"))
}

fn priority(literal: &LitStr) -> Result<syn::Ident> {
    let variant = match literal.value().as_str() {
        "urgent" => "Urgent",
        "normal" => "Normal",
        "low" => "Low",
        "idle" => "Idle",
        other => return refuse(literal.span(), format!("priority is {other:?}, not urgent, normal, low or idle")),
    };
    Ok(syn::Ident::new(variant, literal.span()))
}

fn max_attempts(literal: &LitInt) -> Result<u32> {
    match literal.base10_parse() {
        Ok(attempts @ 1..=MAX_MAX_ATTEMPTS) => Ok(attempts),
        _ => refuse(literal.span(), format!("max_attempts is {literal}, not 1 to {MAX_MAX_ATTEMPTS}")),
    }
}

fn timeout(literal: &LitStr) -> Result<Duration> {
    let text = literal.value();
    match humantime::parse_duration(&text) {
        Ok(timeout) if !timeout.is_zero() => Ok(timeout),
        _ => refuse(literal.span(), format!("timeout is {text:?}, not a duration such as 500ms, 30s or 1h 30m")),
    }
}

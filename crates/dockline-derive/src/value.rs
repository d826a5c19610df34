//! Enums and newtypes as values.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DataEnum, DataStruct, DeriveInput, Error, Field, Ident, Result};

use crate::attributes::Attributes;

pub(crate) fn to_value(input: &DeriveInput) -> Result<TokenStream> {
    let (implementing, types, clause) = input.generics.split_for_impl();
    let name = &input.ident;
    let body = match &input.data {
        Data::Struct(data) => {
            Attributes::read(&input.attrs, &[])?;
            let (member, _) = only_field(input, data)?;
            quote! { ::dockline::ToValue::to_value(&self.#member) }
        }
        Data::Enum(data) => {
            let words = Words::of(input, data)?;
            let arms = words.variants.iter().map(|(variant, word)| {
                if words.are_integers {
                    quote! { Self::#variant => ::dockline::Value::Int(Self::#variant as i64) }
                } else {
                    quote! { Self::#variant => ::dockline::Value::Text(::std::string::String::from(#word)) }
                }
            });
            quote! { match self { #(#arms),* } }
        }
        Data::Union(_) => return Err(no_value(input)),
    };
    Ok(quote! {
        #[automatically_derived]
        impl #implementing ::dockline::ToValue for #name #types #clause {
            fn to_value(&self) -> ::dockline::Value {
                #body
            }
        }

        #[automatically_derived]
        impl #implementing ::dockline::Element for #name #types #clause {}
    })
}

pub(crate) fn from_value(input: &DeriveInput) -> Result<TokenStream> {
    let (implementing, types, clause) = input.generics.split_for_impl();
    let name = &input.ident;
    let body = match &input.data {
        Data::Struct(data) => {
            Attributes::read(&input.attrs, &[])?;
            let (member, field) = only_field(input, data)?;
            let of = &field.ty;
            quote! {
                <#of as ::dockline::FromValue>::from_value(value).map(|inner| Self { #member: inner })
            }
        }
        Data::Enum(data) => of_enum(&Words::of(input, data)?),
        Data::Union(_) => return Err(no_value(input)),
    };
    Ok(quote! {
        #[automatically_derived]
        impl #implementing ::dockline::FromValue for #name #types #clause {
            fn from_value(value: ::dockline::Value) -> ::core::result::Result<Self, ::dockline::ValueError> {
                #body
            }
        }
    })
}

fn of_enum(words: &Words) -> TokenStream {
    let variants = words.variants.iter().map(|(variant, _)| variant);
    if words.are_integers {
        return quote! {
            let number = <i64 as ::dockline::FromValue>::from_value(value)?;
            #(if number == Self::#variants as i64 { return ::core::result::Result::Ok(Self::#variants); })*
            ::core::result::Result::Err(::dockline::ValueError::new("is none of the numbers of its enum"))
        };
    }
    let texts: Vec<&str> = words.variants.iter().map(|(_, word)| word.as_str()).collect();
    let message = format!("is none of {}", texts.join(", "));
    quote! {
        let word = <::std::string::String as ::dockline::FromValue>::from_value(value)?;
        match word.as_str() {
            #(#texts => ::core::result::Result::Ok(Self::#variants),)*
            _ => ::core::result::Result::Err(::dockline::ValueError::new(#message)),
        }
    }
}

struct Words {
    variants: Vec<(Ident, String)>,
    are_integers: bool,
}

impl Words {
    fn of(input: &DeriveInput, data: &DataEnum) -> Result<Self> {
        let attributes = Attributes::read(&input.attrs, &["rename_all", "integer"])?;
        let mut variants = Vec::new();
        for variant in &data.variants {
            if !variant.fields.is_empty() {
                return Err(Error::new_spanned(
                    variant,
                    "a variant with fields is no value; keep it as JSON, or write it by hand",
                ));
            }
            let of_variant = Attributes::read(&variant.attrs, &["rename"])?;
            let name = variant.ident.to_string();
            let word = of_variant
                .rename
                .unwrap_or_else(|| attributes.rename_all.map_or(name.clone(), |case| case.write(&name)));
            variants.push((variant.ident.clone(), word));
        }
        if variants.is_empty() {
            return Err(Error::new_spanned(&input.ident, "an enum without variants has no value"));
        }
        Ok(Self { variants, are_integers: attributes.integer })
    }
}

fn only_field<'a>(input: &DeriveInput, data: &'a DataStruct) -> Result<(syn::Member, &'a Field)> {
    let mut fields = data.fields.members().zip(&data.fields);
    match (fields.next(), fields.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(no_value(input)),
    }
}

fn no_value(input: &DeriveInput) -> Error {
    Error::new_spanned(&input.ident, "a value is an enum without fields, or a struct of one field")
}

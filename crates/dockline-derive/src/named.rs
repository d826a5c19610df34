//! Structs as parameters by name.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result};

use crate::attributes::{Attributes, OF_FIELD};
use crate::row::field_name;

pub(crate) fn named_params(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else { return Err(no_names(input)) };
    let Fields::Named(fields) = &data.fields else { return Err(no_names(input)) };
    let mut values = Vec::new();
    for field in &fields.named {
        let attributes = Attributes::read(&field.attrs, OF_FIELD)?;
        if attributes.skip {
            continue;
        }
        if attributes.flatten {
            let (ident, prefix) = (&field.ident, attributes.prefix.unwrap_or_default());
            values.push(quote! {
                values.extend(::dockline::derive::prefixed(::dockline::NamedParams::named_values(&self.#ident), #prefix));
            });
            continue;
        }
        let (ident, name) = (&field.ident, attributes.rename.unwrap_or_else(|| field_name(field)));
        values.push(quote! {
            values.push(::dockline::Value::named_optional(#name, ::dockline::ToValue::to_value(&self.#ident)));
        });
    }
    let (implementing, types, clause) = input.generics.split_for_impl();
    let name = &input.ident;
    Ok(quote! {
        #[automatically_derived]
        impl #implementing ::dockline::NamedParams for #name #types #clause {
            fn named_values(&self) -> ::std::vec::Vec<::dockline::Value> {
                let mut values = ::std::vec::Vec::new();
                #(#values)*
                values
            }
        }
    })
}

fn no_names(input: &DeriveInput) -> Error {
    Error::new_spanned(&input.ident, "NamedParams can be derived for structs whose fields have names alone")
}

//! Rows as structs.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Field, Fields, Result};

use crate::attributes::{Attributes, OF_FIELD};

pub(crate) fn from_row(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "FromRow can be derived for structs alone"));
    };
    match &data.fields {
        Fields::Named(fields) => by_name(input, fields.named.iter()),
        Fields::Unnamed(fields) => by_position(input, fields.unnamed.iter()),
        Fields::Unit => Err(Error::new_spanned(&input.ident, "FromRow needs fields, a column each")),
    }
}

/// The fields are values, whatever the type's parameters are.
fn bounded(input: &DeriveInput, fields: &[&Field]) -> syn::Generics {
    let mut generics = input.generics.clone();
    if generics.type_params().next().is_some() {
        let clause = generics.make_where_clause();
        for field in fields {
            let of = &field.ty;
            clause.predicates.push(syn::parse_quote!(#of: ::dockline::FromValue));
        }
    }
    generics
}

fn by_position<'a>(input: &DeriveInput, fields: impl Iterator<Item = &'a Field>) -> Result<TokenStream> {
    let fields: Vec<&Field> = fields.collect();
    for field in &fields {
        Attributes::read(&field.attrs, &[])?;
    }
    let generics = bounded(input, &fields);
    let (implementing, types, clause) = generics.split_for_impl();
    let (name, count, indexes) = (&input.ident, fields.len(), 0..fields.len());
    Ok(quote! {
        #[automatically_derived]
        impl #implementing ::dockline::FromRow for #name #types #clause {
            fn from_row(mut row: ::dockline::Row) -> ::dockline::Result<Self> {
                ::dockline::derive::has_columns(&row, #count)?;
                ::core::result::Result::Ok(Self(#(row.take(#indexes)?),*))
            }
        }
    })
}

fn by_name<'a>(input: &DeriveInput, fields: impl Iterator<Item = &'a Field>) -> Result<TokenStream> {
    let mut values = Vec::new();
    let (mut taken, mut read, mut absent) = (Vec::new(), Vec::new(), Vec::new());
    let mut has_parts = false;
    for field in fields {
        let attributes = Attributes::read(&field.attrs, OF_FIELD)?;
        let (ident, of) = (&field.ident, &field.ty);
        let column = attributes.rename.unwrap_or_else(|| field_name(field));
        if attributes.skip {
            let default = quote! { #ident: ::core::default::Default::default() };
            read.push(default.clone());
            taken.push(default);
            continue;
        }
        if attributes.flatten {
            has_parts = true;
            let prefix = attributes.prefix.unwrap_or_default();
            read.push(quote! { #ident: <#of as ::dockline::derive::RowPart>::from_part(row, &::std::format!("{prefix}{}", #prefix))? });
            absent.push(
                quote! { <#of as ::dockline::derive::RowPart>::is_absent(row, &::std::format!("{prefix}{}", #prefix)) },
            );
            continue;
        }
        if attributes.prefix.is_some() {
            return Err(Error::new_spanned(field, "a prefix needs flatten beside it"));
        }
        values.push(field);
        absent.push(quote! { ::dockline::derive::is_absent(row, prefix, #column) });
        if attributes.default {
            read.push(quote! { #ident: ::dockline::derive::get_or_default(row, prefix, #column)? });
            taken.push(quote! { #ident: ::dockline::derive::get_or_default(&row, "", #column)? });
        } else {
            read.push(quote! { #ident: ::dockline::derive::get(row, prefix, #column)? });
            taken.push(quote! { #ident: row.take(#column)? });
        }
    }
    let generics = bounded(input, &values);
    let (implementing, types, clause) = generics.split_for_impl();
    let name = &input.ident;
    // Two parts may read one column, so that it has to stay; else it is moved out.
    let from_row = if has_parts {
        quote! { <Self as ::dockline::derive::RowPart>::from_part(&row, "") }
    } else {
        quote! { let mut row = row; ::core::result::Result::Ok(Self { #(#taken),* }) }
    };
    Ok(quote! {
        #[automatically_derived]
        impl #implementing ::dockline::FromRow for #name #types #clause {
            #[allow(unused_mut)]
            fn from_row(row: ::dockline::Row) -> ::dockline::Result<Self> {
                #from_row
            }
        }

        #[automatically_derived]
        impl #implementing ::dockline::derive::RowPart for #name #types #clause {
            #[allow(unused_variables)]
            fn from_part(row: &::dockline::Row, prefix: &str) -> ::dockline::Result<Self> {
                ::core::result::Result::Ok(Self { #(#read),* })
            }

            #[allow(unused_variables)]
            fn is_absent(row: &::dockline::Row, prefix: &str) -> bool {
                true #(&& #absent)*
            }
        }
    })
}

/// Without the `r#` of a keyword.
pub(crate) fn field_name(field: &Field) -> String {
    field.ident.as_ref().map(|ident| ident.to_string().trim_start_matches("r#").to_owned()).unwrap_or_default()
}

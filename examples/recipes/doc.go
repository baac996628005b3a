// Package recipes has the Examples of docs/recipes.md.
package recipes

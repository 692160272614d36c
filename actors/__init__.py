"""Ray actors, which are thin shells around the library; apart from serve_app the only
package that imports Ray."""

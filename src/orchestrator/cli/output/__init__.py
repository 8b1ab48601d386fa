"""What commands print: JSON for programs; tables, trees and progress for people."""

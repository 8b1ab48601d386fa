"""What verbs print: JSON for programs, tables, trees and progress for people."""

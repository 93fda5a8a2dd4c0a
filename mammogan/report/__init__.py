"""From numbers to pages: results, provenance, sections, figures."""

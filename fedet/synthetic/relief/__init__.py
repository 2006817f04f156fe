"""The family `relief`: heads seen along rays."""

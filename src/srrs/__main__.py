"""python -m srrs"""

from srrs.cli import main

main()
